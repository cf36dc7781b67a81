"""The model as training sees it: its file, its tokens, its forward pass, its adapter."""
