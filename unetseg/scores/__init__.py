"""How good labels and probabilities are, against labels that are known."""
