"""What one GRPO step needs, before it is started: memory by part, tokens, arithmetic; all from shapes alone."""
