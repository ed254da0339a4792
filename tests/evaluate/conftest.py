from small_study import small_set, small_study, write_parquet

__all__ = ["small_set", "small_study", "write_parquet"]
