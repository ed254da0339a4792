from small_study import export_output, small_set, small_study

__all__ = ["export_output", "small_set", "small_study"]
