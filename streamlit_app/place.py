"""Where the dashboard is found, in words. Imports nothing, so that the server starts at once."""


def address_words(address: str, port: int) -> str:
    """What to open in a browser. Of "every address of this machine" a browser knows nothing."""
    match address:
        case "0.0.0.0" | "::":  # noqa: S104 - it is only said
            return f"http://127.0.0.1:{port}，别的电脑用 http://这台电脑的IP:{port}"
        case _:
            return f"http://{place_of(address, port)}"


def place_of(address: str, port: int) -> str:
    """`127.0.0.1:8501`, `[::1]:8501`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
