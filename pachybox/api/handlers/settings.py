"""The settings a box runs with, for who may know them; secrets are left out."""

from __future__ import annotations

from typing import Any

from pachybox import settings
from pachybox.api.definitions import box as ours
from pachybox.api.table import Call, handles
from pachybox.box import Box


@handles("pachybox.v1.API/GetSettings")
def get_settings(box: Box, request: Any, call: Call) -> Any:
    found = [
        ours.SettingValue(key=one.key, value=str(one.value), origin=one.origin)
        for one in settings.effective(box.config)
    ]
    return ours.GetSettingsResponse(home=str(box.config.home), settings=found)
