"""A study of one's own strategies: any strategy, any budget, paired seeds, on problems whose best order is known.

    python -m benchmarks.strategies --problem lop,tsp,qap,transfer --strategies random,optuna-tpe

`problems` says what an order is worth, `play` lets a strategy search, `compare` and `plot` say how it did.
"""
