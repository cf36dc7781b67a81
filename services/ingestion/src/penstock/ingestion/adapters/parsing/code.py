"""Source code: the file itself, cut where top-level definitions and their members begin."""

import re

from penstock.ingestion.adapters.parsing.builder import Builder, base_name
from penstock.ingestion.adapters.parsing.encoding import decode
from penstock.ingestion.domain.parsed import Kind, Parsed

# fmt: off
SUFFIXES = frozenset({
    ".py", ".pyi", ".pyx", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue", ".svelte", ".java", ".kt",
    ".kts", ".scala", ".groovy", ".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".m", ".mm",
    ".cs", ".fs", ".go", ".rs", ".rb", ".php", ".pl", ".pm", ".lua", ".r", ".jl", ".swift", ".dart", ".ex",
    ".exs", ".erl", ".hs", ".ml", ".clj", ".sh", ".bash", ".zsh", ".fish", ".ps1", ".bat", ".sql",
    ".graphql", ".proto", ".tf", ".hcl", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".xml", ".xsd",
    ".css", ".scss", ".less", ".cmake", ".gradle", ".mk", ".nix", ".zig", ".v", ".vhd", ".asm", ".s",
})
# fmt: on

_MEMBER_INDENT = 4
_TAB_INDENT = 4
_LINE = 300
# One line; what stands in front of the name is bounded, so that no line is slow to match. What follows it
# tells a definition from a sentence.
_DEFINITION = re.compile(
    r"(?:(?:export|default|declare|pub(?:\([a-z]+\))?|public|private|protected|internal|static|async|abstract"
    r"|final|override|virtual|sealed|partial|unsafe|inline|const|extern|local|open|data|suspend)[ ]+){0,6}"
    r"(?:def|class|func(?:[ ]*\([^()]{0,80}\))?|function\*?|fn|fun|sub|struct|enum|union|interface|trait"
    r"|protocol|extension|impl(?:<[^>]{0,80}>)?|module|namespace|mod|type|record|object|message|service"
    r"|package|macro|defmodule|defp"
    r"|(?i:create[ ]+(?:or[ ]+replace[ ]+)?(?:table|view|function|procedure)(?:[ ]+if[ ]+not[ ]+exists)?))"
    r"[ ]+(?P<name>[\w$.:]{1,120})"
    r"[ ]*(?:$|[({<=;\[]|(?:extends|implements|for|where|with|struct|interface|do)\b)"
)
# A function of the C family: words and a name before a parenthesis, and no end of a statement.
_C_FUNCTION = re.compile(
    r"(?:[\w:<>,*&\[\]]{1,60}[ ]+[*&]{0,2}){1,6}(?P<name>[\w:~]{1,120})[ ]*\([^;]{0,200}[{),]$"
)
# fmt: off
_NOT_FUNCTIONS = frozenset({
    "if", "for", "while", "switch", "catch", "return", "else", "elif", "new", "throw", "await", "yield",
    "using", "lock", "do",
})
_HASH_COMMENTS = frozenset({
    ".py", ".pyi", ".pyx", ".rb", ".sh", ".bash", ".zsh", ".fish", ".r", ".jl", ".pl", ".pm", ".ex", ".exs",
    ".nix",
})
_C_FAMILY = frozenset({
    ".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".hxx", ".m", ".mm", ".cs", ".java", ".dart", ".scala",
    ".groovy", ".v",
})
# fmt: on
_ABOVE = ("@", "#[", "///", "//", "/*", "*", "--", "[")  # what belongs to the definition below it


def parse_code(data: bytes, file_name: str) -> Parsed:
    """Return the source; a block's headings are the definitions it stands in, as far as lines show them."""
    text = decode(data)
    builder = Builder(text)
    suffix = "." + file_name.rpartition(".")[2].lower()
    above = (*_ABOVE, "#") if suffix in _HASH_COMMENTS else _ABOVE
    patterns = (_DEFINITION, _C_FUNCTION) if suffix in _C_FAMILY else (_DEFINITION,)
    at = 0  # where the block that is being read began
    start = 0  # of the line
    attached: int | None = None  # where the comments and decorators directly above this line began
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith(above):
            attached = start if attached is None else attached
        else:
            if definition := _definition(line, patterns):
                begin = start if attached is None else attached
                builder.add_range(Kind.CODE, at, begin)
                builder.open(*definition)
                at = begin
            attached = None
        start += len(line)
    builder.add_range(Kind.CODE, at, len(text))
    return builder.finish(file_name, file_name.replace("\\", "/").rpartition("/")[2] or base_name(file_name))


def _definition(line: str, patterns: tuple[re.Pattern[str], ...]) -> tuple[int, str] | None:
    """The level and name of a definition that starts here. No level is a title's: that is the file's name."""
    code = line[:_LINE].expandtabs(_TAB_INDENT).rstrip()
    body = code.lstrip()
    indent = len(code) - len(body)
    if indent > _MEMBER_INDENT or not body or body.split(maxsplit=1)[0] in _NOT_FUNCTIONS:
        return None
    found = next(filter(None, (pattern.match(body) for pattern in patterns)), None)
    return (indent + 2, found["name"].rstrip(":.")) if found else None
