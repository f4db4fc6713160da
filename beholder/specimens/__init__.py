"""The built-in network `specimens` and the drawn pictures it learnt from.

Read draw (pictures), patterns (the figures), then architecture, train and blinding.
"""
