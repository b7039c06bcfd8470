"""What the DAGs share and only Airflow needs: schedules, defaults, assets, and from connections to stores."""
