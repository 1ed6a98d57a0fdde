"""Settings that suit the machine and the model, wherever nobody set them: facts, rules, reasons."""
