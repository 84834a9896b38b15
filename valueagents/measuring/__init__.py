"""What a run's answers say: estimators, comparisons, the studies' metrics, checks over many
policies.
"""
