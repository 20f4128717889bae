"""What a study file may say."""

from dataclasses import field
from typing import Annotated, Any

from pydantic import Field

from lampion.engine import Engine
from lampion.potential import Potential
from lampion.protocol import Protocol
from lampion.settings import Count, Element, Temperature, Text, settings
from lampion.structure import Structure


@settings
class Analysis:
    """How the runs become numbers; changing it reruns nothing."""

    window: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0)]] | None = None
    """Lags between which the mean squared displacement is fitted, ps; found from the data without it."""
    hop_length: Annotated[float, Field(ge=0.1, le=100)] = 2.5
    """Length of one hop, Å, by which displacements are counted as hops."""
    charges: dict[Element, float] | None = None
    """e, by element, for the conductivity: machine-learned potentials carry none. Without it the potential's."""
    precision: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Wanted relative error of D, 0.01 for 1 %; the report then says how many more runs it needs."""

    extrapolate: tuple[Temperature, ...] = ()
    """K: where the report gives D from the Arrhenius line, with its interval."""
    transitions: tuple[Temperature, ...] = ()
    """K: known phase transitions, past which no line is extrapolated."""

    def __post_init__(self) -> None:
        """Refuse a window that ends before it begins."""
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError(f"window must end after it begins, not {list(self.window)}")


@settings
class Until:
    """Go on adding replicas until a precision is reached."""

    diffusion: Annotated[float, Field(gt=0, lt=1)]
    """Wanted relative standard error of D of every mobile species, 0.05 for 5 %."""
    at_most: Count = 64
    """Replicas of a point at which it stops in any case."""


@settings
class Sweep:
    """Values to run over, each by its dotted name, as ``protocol.temperature``."""

    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = field(default_factory=dict)
    """Every combination of these lists."""
    zip: dict[str, Annotated[list[Any], Field(min_length=1)]] = field(default_factory=dict)
    """These lists taken together: first with first, second with second."""
    replicas: Count = 1
    """Runs of each point that differ in their seeds alone."""
    until: Until | None = None
    """Adds replicas at looks that are fixed beforehand, each √2 times as many, from `replicas` (8 or more) on."""

    def __post_init__(self) -> None:
        """Refuse a first look that knows too little, and a budget below it."""
        if self.until is not None and not 8 <= self.replicas <= self.until.at_most:
            raise ValueError(
                f"replicas must be from 8 to until.at_most ({self.until.at_most}), where the first look is, not "
                f"{self.replicas}"
            )


@settings
class Study:
    """A study: structure, potential, protocol, what is swept, and which LAMMPS runs it."""

    title: Text = ""
    """For people; it is in no key."""
    structure: Structure
    potential: Potential
    protocol: Protocol
    sweep: Sweep = Sweep()
    engine: Engine = Engine()
    analysis: Analysis = Analysis()
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Root of all seeds; drawn once, and kept in study.lock.json, without it."""
