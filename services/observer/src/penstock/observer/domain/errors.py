"""What an answer may be refused for."""

from dataclasses import dataclass


@dataclass(eq=False)
class ApiError(Exception):
    """Becomes the answer, in OpenAI's words. `message` never holds what a tenant wrote."""

    status: int
    code: str
    message: str
    param: str | None = None

    def __str__(self) -> str:
        return f"{self.status} {self.code}"


def invalid(param: str, message: str) -> ApiError:
    """A parameter that cannot be used."""
    return ApiError(400, "invalid_value", message, param)


def no_such(what: str) -> ApiError:
    """There is none, or none that the caller may see: the two are told alike."""
    return ApiError(404, "not_found", f"There is no such {what}, or no more.")


def operators_only() -> ApiError:
    """Of the whole installation, so not a tenant's business."""
    return ApiError(403, "operators_only", "Only operators may see this.")


def busy(what: str) -> ApiError:
    """Bounded, and full."""
    return ApiError(503, "busy", f"Too many {what} at once. Try again in a moment.")


def broker_away() -> ApiError:
    """Kafka cannot be asked."""
    return ApiError(503, "not_ready", "Kafka cannot be reached at the moment. Try again in a moment.")
