"""`bridge up --demo`: a pretend city app, people of BPSK, and a ladder in seconds. All else is the real thing."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
from pathlib import Path

from bridge.demo.story import Demo
from config.settings import HERE, read_settings

__all__ = ["Demo", "prepare_environment"]


def prepare_environment() -> None:
    """Set what the demo needs and nobody set: a data folder of its own, the ladder, keys, a callback address."""
    environment = os.environ
    environment.setdefault("BRIDGE_DATA_DIR", "var/demo")
    settings = read_settings(environment)
    folder = settings.data_dir / "config"
    shutil.copytree(HERE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(Path(__file__).parent / "policies.toml", folder / "policies.toml")
    environment.setdefault("BRIDGE_CONFIG_DIR", str(folder))
    environment.setdefault("QLUE_WEBHOOK_SECRET", _new_key())
    environment.setdefault("QLUE_CALLBACK_SECRET", _new_key())
    # The city app answers on the next port; its address is the way out of Jembatan, as in real life.
    environment.setdefault("QLUE_CALLBACK_URL", f"http://127.0.0.1:{settings.listen_port + 1}/callbacks")


def _new_key() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode("ascii")
