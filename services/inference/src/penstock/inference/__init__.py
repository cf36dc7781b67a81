"""TGI and TEI dialects over OpenVINO GenAI on the CPU."""
