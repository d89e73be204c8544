"""Describes what a signalised intersection is, and holds the one gate that every change of its lights passes."""
