"""SQL: the only room that imports SQLAlchemy. One file per question area; one writer that commits."""
