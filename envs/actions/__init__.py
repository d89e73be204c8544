"""Action kinds: one file each says what an agent may answer, and what it proposes to the gate."""
