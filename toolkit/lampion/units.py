"""LAMMPS metal units inside (Å, ps, eV, K, bar, g/mol); what is converted at the edge.

Constants are CODATA 2018 (doi 10.1103/RevModPhys.93.025010), from `scipy.constants` values written out so
that importing this module costs nothing; a test compares them.
"""

BOLTZMANN = 8.617333262e-5
"""k_B in eV/K."""

EV_PER_A3_IN_BAR = 1.602176634e6
"""1 eV/Å³ in bar."""

A2_PER_PS_IN_CM2_PER_S = 1e-4
"""1 Å²/ps in cm²/s."""

BAR_PS_IN_MPA_S = 1e-4
"""1 bar·ps in mPa·s (1e5 Pa × 1e-12 s = 1e-7 Pa·s)."""
