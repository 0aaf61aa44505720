# One image for web, worker, beat, migrations and sandbox; see docker-compose.yml.
FROM python:3.11-slim-bookworm AS packages
COPY requirements.txt .
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt

FROM python:3.11-slim-bookworm
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=mixadmin.settings \
    MIXADMIN_DATA_DIR=/data \
    STATIC_ROOT=/app/staticfiles
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin mixadmin \
    && install --directory --owner mixadmin --mode 700 /data
WORKDIR /app
COPY --from=packages /venv /venv
COPY manage.py LICENSE ./
COPY mixadmin mixadmin
COPY templates templates
COPY static static
# No secret is needed to collect files, and none is left in a layer.
RUN python -m compileall -q mixadmin \
    && DEBUG=1 python manage.py collectstatic --noinput --verbosity 0
USER mixadmin
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import sys; from mixadmin.common.stack import answers; sys.exit(not answers('http://127.0.0.1:8000/healthz'))"]
CMD ["gunicorn", "mixadmin.wsgi:application", "--bind=0.0.0.0:8000", "--workers=2", "--threads=8", "--worker-tmp-dir=/dev/shm", "--no-control-socket", "--access-logfile=-"]
