"""The exceptions that Lampion raises on purpose.

::

    LampionError
    ├── SettingError      a study file or a setting that can't be used
    ├── StructureError    a structure that can't be used
    ├── PotentialError    a potential whose files are missing, unfit or of other elements
    ├── TemplateError     a template that can't be rendered
    ├── EngineError       no LAMMPS, or one that can't do what the deck needs
    ├── RunError          a run that failed
    ├── TrajectoryError   a dump or log that can't be read
    └── AnalysisError     data that can't carry the number asked for

Each message is one sentence for the user: what was wrong, the value, what to do. The command line prints
it and exits with 2; anything else that escapes is a bug of ours.
"""


class LampionError(Exception):
    """What was wrong, the value, and what to do about it, in a sentence."""


class SettingError(LampionError):
    """A study file or a setting that can't be used."""


class StructureError(LampionError):
    """A structure that can't be used."""


class PotentialError(LampionError):
    """A potential whose files are missing, unfit, or of other elements."""


class TemplateError(LampionError):
    """A template that can't be rendered."""


class EngineError(LampionError):
    """No LAMMPS, or one that can't do what the deck needs."""


class RunError(LampionError):
    """A run that failed."""


class TrajectoryError(LampionError):
    """A dump or log that can't be read."""


class AnalysisError(LampionError):
    """Data that can't carry the number asked for."""
