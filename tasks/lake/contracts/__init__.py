"""Every table of the lake with its contract, found by name."""

from tasks.lake.contracts import activation, campaigns, customers, events, facts, models, operations
from tasks.lake.contracts.column import Column, Contract

CONTRACTS: dict[str, Contract] = {
    contract.table: contract
    for module in (facts, customers, models, campaigns, activation, operations, events)
    for contract in module.TABLES
}

__all__ = ["CONTRACTS", "Column", "Contract"]
