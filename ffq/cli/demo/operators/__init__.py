"""Custom operators of the demo, one module each: `ffq worker --operators` names the modules."""
