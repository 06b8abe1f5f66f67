"""Does a histogram answer like a smooth law?

A researcher asks, whose data come in bins. Asserted: revenue from 8 and 16 bins, extrapolated as errors of second
order are, is that of the smooth law to a thousandth.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import jaxmech as jm

jax.config.update("jax_enable_x64", True)

law = jm.TruncatedNormal(loc=0.2, scale=0.5, lower=-1.0, upper=1.5)
z = np.linspace(-1.0, 1.5, 501)
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")


def revenue(law, label):
    mechanism = jm.solve(jm.Market.of(jm.Traders(law, risk_capacity=1.0, count=6)), alpha=0.5)
    axes.plot(z, mechanism.interim_allocation(z[:, None])[:, 0], lw=1.2, label=label)
    return float(jm.outcomes(mechanism).revenue)


def histogram(bins):
    edges = np.linspace(-1.0, 1.5, bins + 1)
    masses = np.repeat(np.diff(law.cdf(edges)), 16 // bins)  # on 16 bins all the same: one program for both
    return jm.Histogram(np.linspace(-1.0, 1.5, 17), masses)


coarse, fine, smooth = revenue(histogram(8), "8 bins"), revenue(histogram(16), "16 bins"), revenue(law, "smooth law")
print(f"Eight bins overstate revenue by {coarse / smooth - 1:.1%}, sixteen by {fine / smooth - 1:.1%}.")
axes.set(xlabel="endowment, asset units", ylabel="expected purchase, asset units", xlim=(-1, 0), ylim=(0, 1))
axes.set_title("Where the density jumps, types trade alike")
axes.legend()
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "histogram_or_smooth.svg")
assert np.isclose((4 * fine - coarse) / 3, smooth, rtol=1e-3)
