"""Convert validation errors of API models to messages with the field and the error."""

from pydantic import ValidationError


def messages_of(error: ValidationError, prefix: str = "") -> list[str]:
    """Return one message per error, with the path of the field as in YAML (``spec.data.target``)."""
    return [
        _message(item["loc"], item["msg"], prefix) for item in error.errors(include_url=False, include_context=False)
    ]


def _message(location: tuple[int | str, ...], message: str, prefix: str) -> str:
    path = prefix
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    text = message.removeprefix("Value error, ")
    text = {
        "Extra inputs are not permitted": "unknown field",
        "Field required": "is required",
    }.get(text, text)
    return f"{path}: {text}" if path else text
