from small_study import small_study

__all__ = ["small_study"]
