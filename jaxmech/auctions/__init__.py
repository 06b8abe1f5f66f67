"""Mechanisms that are played (theory §7, §8): the double auction, its fees and side payments, simulation, audits."""
