"""The matrix of faults, and what each of them comes to: `phasewise bench faults`."""
