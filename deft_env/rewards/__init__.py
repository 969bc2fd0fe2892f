"""What the agent is told: oracle, success, human, embedding distances."""
