"""A configuration is read whole or refused with file, key and remedy."""

from __future__ import annotations

import pytest

from edge.config import Config, ProfileConfig, load_config
from edge.errors import ConfigError

pytestmark = pytest.mark.board


def write(tmp_path, text):
    file = tmp_path / "seston.toml"
    file.write_text(text)
    return file


def test_an_empty_file_is_all_defaults(tmp_path):
    assert load_config(write(tmp_path, "")) == Config()


def test_default_bins():
    edges = ProfileConfig().edges_dbar()
    assert edges[:3] == [0, 5, 10]
    assert edges[20:23] == [100, 110, 120]
    assert edges[-2:] == [1960, 2000]
    assert sorted(set(edges)) == edges


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[optics]\npixel_mm = 0.073\nimage_volume_l = 1", r"optics\.pixel_mm.*perhaps `pixel_um`"),
        ("[telemetry]\nbudget_kb = 2", r"telemetry\.budget_kb.*perhaps `budget_bytes`"),
        ("[telemetry]\nmessage_bytes = 'many'", r"telemetry\.message_bytes.*expected `int`"),
        ("[telemetry]\nmessage_bytes = 3", r"telemetry\.message_bytes"),
        ("[vision]\nbackground = 'median'", r"vision\.background"),
        ("[vision", "is not TOML"),
        ("[profile]\nbins_dbar = [[5, 5]]", "bins_dbar must begin at 0"),
        ("[profile]\nmax_dbar = 500", "max_dbar must lie below"),
        ("[[mission.zones]]\nclasify = false", r"mission\.zones\[.*\]\.clasify.*perhaps `classify`"),
        ("[[mission.zones]]\nfrom_dbar = 9\nto_dbar = 9", "from_dbar 9 must be less than to_dbar 9"),
        ("zebra = 1", "zebra: is not a key known here; remove it"),
    ],
)  # fmt: skip
def test_faults_name_file_key_and_remedy(tmp_path, text, expected):
    with pytest.raises(ConfigError, match=expected) as caught:
        load_config(write(tmp_path, text))
    assert "seston.toml" in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: is not there; check the path"):
        load_config(tmp_path / "nowhere.toml")
