"""The table of rights in docs/kafka-security.md."""

from itertools import groupby

from penstock.streaming.admin.access import all_grants


def table() -> str:
    """Return it as Markdown: a row for each user and what it may do."""
    lines = ["| user | may | names |", "|---|---|---|"]
    for (user, may), same in groupby(all_grants(), lambda grant: (grant.user, grant.may)):
        lines.append(f"| {user} | {may} | {', '.join(f'`{grant.name}`' for grant in same)} |")
    return "\n".join(lines)
