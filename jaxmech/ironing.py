"""Ironing: virtual types where the law is not regular (theory §14; the paper's Condition 2 is not needed).

The best nondecreasing rule follows the ironed ψ⁻ = z + w F/f: the slope of the lower convex hull, over F, of

    P(z) = ∫_l^z ψ⁻ dF = z F − (1 − w) G.

It depends on the law and on w, not on η, and changes no mean: E[V] below a is as before, because a is never inside a
bunch. What it changes is what `Ironing` knows. Rows are left and right sides, as in `virtual_types`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmech.bunching import VirtualTypes, padded
from jaxmech.endowments import SideBySide
from jaxmech.endowments.ratio_integrals import RatioIntegral
from jaxmech.endowments.search import count_below, pick
from jaxmech.hull import Ironed


class Corrections(NamedTuple):
    """What bunching below the binding interval adds, shape (2, G, ...); c is the level of each bunch."""

    square: jax.Array  # to E[(c − V)²; Z < a]: −Σ ∫ (ψ − c)² dF
    lever: jax.Array  # to E[(a − Z)(c − V); Z < a]: Σ ∫ z (c − ψ) dF
    earned: jax.Array  # to ∫_l^a F (c − V) dz: −Σ ∫ F (c − ψ) dz


class Ironing:
    """The ironed ψ⁻ of a law given by panels, whose bunches are located: Condition 2 may fail."""

    def __init__(self, law, weight, where):
        self.law = law
        self.curve = VirtualTypes(law, jnp.asarray(weight, law.values.dtype))
        self.ironed = Ironed(self.curve, where)
        start, stop = self.bunches
        self._within = count_below(start, law.cuts[1:]) > count_below(stop, law.cuts[:-1], strictly=False)

    @property
    def bunches(self):
        """(start, stop) of the bunches in order, shape (most, ...); +∞ where there is none."""
        return self.ironed.bunches.start, self.ironed.bunches.stop

    def value(self, z, raw):
        """The ironed ψ⁻ at z; `raw`, ψ⁻ itself, is for laws that need no ironing."""
        rows, shape = self.law.rows(z)
        return self.ironed.value(rows).reshape(shape)

    def end(self, target, guess):
        """a: the type at which the ironed ψ⁻ reaches the target; `guess` is for laws that need no ironing."""
        rows, shape = self.law.rows(target)
        return self.ironed.reaches(rows).reshape(shape)

    def still_ends(self):
        """The function end, without derivatives: loops call that."""
        find = self.ironed.still_reaches()

        def end(target, guess):
            rows, shape = self.law.rows(target)
            return find(rows).reshape(shape)

        return end

    def gain(self, z, end, eta, raw):
        """∫_z^end (η − ironed ψ⁻) for z ≤ end; `raw`, that of ψ⁻ itself, is for laws that need no ironing."""
        return eta * (end - z) - (self._integral(end) - self._integral(z))

    def faults(self, eta):
        """(largest fall of the virtual types below η from node to node, largest shortfall of the hull).

        The rule is optimal where D(z) = ∫_l^z (ψ⁻ − V) dF is never negative; looked at on all nodes of the panels.
        """
        curve, bunches = self.curve, self.ironed.bunches
        bunch, inside = self.ironed.bunch_of(curve.types)
        start, _, low, _, level = self._at_bunches()
        (weight,) = curve.parameters
        begun = start * low.cdf - (1 - weight) * low.integral
        pooled = pick(begun, bunch) + pick(level, bunch) * (curve.cdf - pick(low.cdf, bunch))
        virtual = jnp.where(inside & pick(bunches.exists, bunch), pick(level, bunch), curve.node_values()[0])
        rounding = curve.rounding()
        falls = -jnp.diff(jnp.minimum(virtual, eta), axis=0) - jnp.maximum(rounding[1:], rounding[:-1])
        short = jnp.where(inside, jnp.maximum(0.0, pooled - curve.node_integrals()[0]), 0.0)
        return jnp.maximum(0.0, jnp.max(falls, axis=0)), jnp.max(short, axis=0)

    def _counted(self, ends, of):
        """Σ over the bunches below the ends of `of`, shape (most, ...)."""
        bunches = self.ironed.bunches
        below = bunches.exists & (0.5 * (bunches.start + bunches.stop) < ends)
        return jnp.sum(jnp.where(below, of, 0.0), axis=0)

    def _at_bunches(self):
        """z, LeftTail and F²/f integrals at both ends of every bunch, and the levels; finite where there is none."""
        bunches, lower = self.ironed.bunches, self.law.lower
        types = jnp.concatenate([jnp.where(bunches.exists, end, lower) for end in (bunches.start, bunches.stop)])
        tail = self.curve.tail(jnp.concatenate(bunches.panels), types)[0]
        low, high = (jax.tree.map(lambda part, k=k: jnp.split(part, 2)[k], tail) for k in (0, 1))
        return *jnp.split(types, 2), low, high, jnp.where(bunches.exists, bunches.level, 0.0)

    def squared_ratio_integral(self, z):
        """∫_l^z F²/f but for the bunches, where `corrections` takes it for 0 too."""
        return self._outside(z, 2)

    def corrections(self, ends) -> Corrections:
        """What the bunches below a, and above b, add."""
        (weight,) = self.curve.parameters
        start, stop, low, high, level = self._at_bunches()

        def change(function):
            return function(stop, high) - function(start, low)

        cdf, first = change(lambda z, at: at.cdf), change(lambda z, at: at.integral)
        mean = change(lambda z, at: z * at.cdf - at.integral)
        square = change(lambda z, at: z * (z * at.cdf - 2 * at.integral) + 2 * at.second_integral)
        overlap = change(lambda z, at: z * at.integral - at.second_integral)  # ∫ zF dz
        return Corrections(
            square=self._counted(ends, level**2 * cdf - square - 2 * weight * overlap),
            lever=self._counted(ends, level * mean - square - weight * overlap),
            earned=self._counted(ends, overlap - level * first),
        )

    def _integral(self, z):
        """∫_l^z of the ironed ψ⁻; units of the asset squared."""
        rows, shape = self.law.rows(z)
        (weight,) = self.curve.parameters
        start, stop, *_, level = self._at_bunches()
        until = jnp.clip(rows[:, None], start, stop)
        pooled = jnp.sum((until - start) * (level - 0.5 * (until + start)), axis=1)
        raw = 0.5 * (rows - self.law.lower) * (rows + self.law.lower)
        return (raw + pooled).reshape(shape) + weight * self._outside(z, 1)

    def _outside(self, z, power):
        """∫_l^z F^power/f but for the bunches: it may be huge in them, between two peaks of a density."""
        rows, shape = self.law.rows(z)
        start, stop, *_ = self._at_bunches()
        integral = RatioIntegral(self.law, power, self._within)
        begun = jnp.concatenate([self.law.lower[None], stop])
        whole = jnp.concatenate([jnp.zeros_like(begun[:1]), jnp.cumsum(integral.between(begun[:-1], start), axis=0)])
        bunch, inside = self.ironed.bunch_of(rows)
        passed = jnp.where(rows < pick(start, bunch), bunch, bunch + 1)
        since = pick(begun, passed)
        rest = integral.between(since, jnp.where(inside, since, jnp.maximum(rows, since)))
        return (pick(whole, passed) + rest).reshape(shape)


class _Regular:
    """What `Ironing` is for laws that need none."""

    def __init__(self, law):
        self.squared_ratio_integral = law.squared_ratio_integral
        self.bunches = (jnp.full((0, *law.lower.shape), jnp.inf, law.lower.dtype),) * 2

    def value(self, z, raw):
        return raw

    def end(self, target, guess):
        return guess

    def still_ends(self):
        return self.end

    def gain(self, z, end, eta, raw):
        return raw

    def faults(self, eta):
        return jnp.zeros_like(eta), jnp.zeros_like(eta)

    def corrections(self, ends):
        return Corrections(*(jnp.zeros_like(ends),) * 3)


class _SideBySide:
    """`Ironing` of groups of several families."""

    def __init__(self, law, weight, where):
        self._law = law
        pairs = zip(law.laws, where, strict=True)
        self._parts = [_Regular(one) if own is None else Ironing(one, weight, own) for one, own in pairs]

    @property
    def bunches(self):
        most = max(part.bunches[0].shape[0] for part in self._parts)
        ends = [tuple(padded(end, most) for end in part.bunches) for part in self._parts]
        return tuple(self._law.joined(own) for own in zip(*ends, strict=True))

    def _each(self, method, *arrays):
        columns = zip(*(self._law.columns(array) for array in arrays), strict=True)
        return [getattr(part, method)(*own) for part, own in zip(self._parts, columns, strict=True)]

    def value(self, z, raw):
        return self._law.joined(self._each("value", z, raw))

    def end(self, target, guess):
        return self._law.joined(self._each("end", target, guess))

    def still_ends(self):
        parts = [part.still_ends() for part in self._parts]

        def end(target, guess):
            columns = zip(self._law.columns(target), self._law.columns(guess), strict=True)
            return self._law.joined([part(*own) for part, own in zip(parts, columns, strict=True)])

        return end

    def gain(self, z, end, eta, raw):
        return self._law.joined(self._each("gain", z, end, eta, raw))

    def faults(self, eta):
        return tuple(map(self._law.joined, zip(*self._each("faults", eta), strict=True)))

    def squared_ratio_integral(self, z):
        return self._law.joined(self._each("squared_ratio_integral", z))

    def corrections(self, ends):
        return Corrections(*map(self._law.joined, zip(*self._each("corrections", ends), strict=True)))


def ironing(law, weight, where):
    """The ironed ψ⁻ of a law in the form to compute with, from its bunching; None where that is None."""
    if where is None:
        return None
    return _SideBySide(law, weight, where) if isinstance(law, SideBySide) else Ironing(law, weight, where)
