"""torch.__future__: switches of how `Module.to` replaces parameters. Their values are kept; `to` always does the same."""

from __future__ import annotations

_switches = {"overwrite": False, "swap": False}


def set_overwrite_module_params_on_conversion(value: bool) -> None:
    """Accepted: parameters stay the same objects, with other memory."""
    _switches["overwrite"] = value


def get_overwrite_module_params_on_conversion() -> bool:
    """What was set."""
    return _switches["overwrite"]


def set_swap_module_params_on_conversion(value: bool) -> None:
    """Accepted: parameters stay the same objects, with other memory."""
    _switches["swap"] = value


def get_swap_module_params_on_conversion() -> bool:
    """What was set."""
    return _switches["swap"]
