"""Where does the optimum treat different traders alike?

A researcher asks. One client in ten is of a second kind, further and further from the first, so that their mixture is
irregular. Asserted: a bunch offers z − w(1 − F(z))/f(z) of the type z where it ends, Myerson's ironing from the law.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)


def solved(distance):
    kinds = [jm.TruncatedNormal(mean, 0.25, -1.0, 3.0) for mean in (0.0, distance)]
    return jm.solve(jm.Market.of(jm.Traders(jm.Mixture(kinds, [0.9, 0.1]), risk_capacity=1.0, count=5)), alpha=0.5)


figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
distances, irregular = np.linspace(0.0, 2.0, 41), []
for distance in distances:
    mechanism = solved(distance)
    axes.vlines(distance, *mechanism.binding_interval[0], color="0.7", lw=6, label="no trade expected")
    for bunch in mechanism.bunching_intervals[0]:
        axes.vlines(distance, *bunch, color="tab:red", lw=6, label="bunch: all trade alike")
        irregular.append((distance, bunch, mechanism))
axes.set(xlabel="distance between the two kinds, asset units", ylabel="endowment, asset units")
axes.set_title("A bunch grows until those who expect no trade take it in")
handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
axes.legend(handles.values(), handles, loc="upper left")
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "where_it_bunches.svg")

distance, (start, end), mechanism = irregular[-1]
print(f"Kinds {irregular[0][0]:.2f} to {distance:.2f} apart are bunched in between, at last [{start:.2f}, {end:.2f}].")
offered = end - mechanism.weight * mechanism.market.endowment.survival_ratio([end])
assert np.isclose(mechanism.virtual_type([0.5 * (start + end)]), offered, rtol=1e-9)
