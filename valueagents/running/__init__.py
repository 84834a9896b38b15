"""From a plan to a run directory: rollout, store, tables, pools."""
