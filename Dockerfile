# One image for everything of ours: Airflow's components, the MLflow server, and the commands that prepare both.
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE}

# libgomp: LightGBM's and XGBoost's threads. curl: health checks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends curl libgomp1 \
    && rm -rf /var/lib/apt/lists/*

COPY requirements.txt /opt/fenqun/
RUN --mount=type=cache,target=/root/.cache \
    pip install --no-cache-dir uv==0.13.9 \
    && uv pip install --system --compile-bytecode --link-mode=copy -r /opt/fenqun/requirements.txt

# A new volume takes its owner from the folder that it covers, so that every container may write there.
# Airflow would write a file of settings, from several processes at once; ours come from the environment.
RUN useradd --uid 50000 --gid 0 --create-home airflow \
    && mkdir -p /opt/airflow/logs /lake /erased /mlflow \
    && echo '# All settings come from the environment.' > /opt/airflow/airflow.cfg \
    && chown -R airflow:0 /opt/airflow /lake /erased /mlflow \
    # the official Helm chart's probes call this, and its sidecars /clean-logs
    && printf '#!/bin/sh\nexec "$@"\n' > /entrypoint && chmod 755 /entrypoint \
    && ln -s /opt/fenqun/deploy/clean_logs.sh /clean-logs

COPY deploy/airflow deploy/mlflow /opt/fenqun/deploy/
COPY plugins /opt/fenqun/plugins
COPY include /opt/fenqun/include
COPY local /opt/fenqun/local
COPY dags /opt/fenqun/dags

# There is no git here: MLflow's GitPython would say so in 20 lines of the log of each training task.
ENV AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/fenqun/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/fenqun/plugins \
    PYTHONPATH=/opt/fenqun/include \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    GIT_PYTHON_REFRESH=quiet
WORKDIR /opt/fenqun
USER 50000:0
