from __future__ import annotations

from trueup.manifests.targets import public_config


def test_the_public_part_of_a_config_is_what_the_schema_names_and_does_not_call_sensitive():
    schema = {
        "properties": {
            "host": {"type": "string"},
            "password": {"x-sensitive": True},
            "proxy": {"properties": {"url": {}, "token": {"x-sensitive": True}}},
        }
    }
    config = {"host": "a", "password": "b", "proxy": {"url": "c", "token": "d"}, "else": 1}
    assert public_config(config, schema) == {"host": "a", "proxy": {"url": "c"}}
    assert public_config(config, {}) == {}
