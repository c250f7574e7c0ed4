"""Plain values as YAML that our own reader reads back unchanged."""

from collections.abc import Mapping

import yaml

from worldmodel_train.config.scalars import use_plain_scalars


class _Dumper(yaml.SafeDumper):
    """Quotes what our reader, not PyYAML's, would take for a number."""

    def ignore_aliases(self, data: object) -> bool:
        """Always: the reader refuses aliases, so a shared value is written out twice."""
        return True


use_plain_scalars(_Dumper)


def write_yaml(values: Mapping[str, object]) -> str:
    """YAML text of `values`, keys in their order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def write_value(value: object) -> str:
    """One value on one line, as it would stand after a key."""
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=10**6,
    )
    return text.removesuffix("\n").removesuffix("...").rstrip("\n")
