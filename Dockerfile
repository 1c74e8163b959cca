FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /srv
COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt
COPY manage.py .
COPY callcenter callcenter
COPY queues queues
COPY conferences conferences
COPY webhooks webhooks
RUN python manage.py collectstatic --noinput \
    && useradd --system --no-create-home callcenter
USER callcenter

EXPOSE 8000
# Threads, since a webhook waits for the database; no control socket, which several instances would share;
# no access log, whose addresses would hold phone numbers unmasked.
CMD ["gunicorn", "callcenter.wsgi", "--bind", "0.0.0.0:8000", "--worker-class", "callcenter.threads.Worker", \
     "--workers", "2", "--threads", "8", "--no-control-socket"]
