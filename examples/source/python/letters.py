"""What is in other files of the source is imported as usual."""


def titled(text: str) -> str:
    """Every word with a capital."""
    return " ".join(word.capitalize() for word in text.split())
