#!/bin/sh
# Makes the passwords of compose.yaml, once, in the checkout that this file is in:
#   .env               what compose.yaml takes them from
#   deploy/users.acl   the queue's users, with hashes of their passwords
#   producer.env       what an application in a container gets
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ] || [ -e deploy/users.acl ] || [ -e producer.env ]; then
  echo "there are passwords in $PWD already; nothing was changed" >&2
  exit 1
fi

password() { od -An -tx1 -N24 /dev/urandom | tr -d ' \n'; }
hash() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }

producer=$(password) collector=$(password) reader=$(password)
umask 077
cat > .env <<END
ADMIN_PASSWORD=$(password)
OWNER_PASSWORD=$(password)
WRITER_PASSWORD=$(password)
READER_PASSWORD=$(password)
QUEUE_PRODUCER_PASSWORD=$producer
QUEUE_COLLECTOR_PASSWORD=$collector
QUEUE_READER_PASSWORD=$reader
OTLP_TOKEN=$(password)
END
echo "OTEL_EXPORTER_GODOT_ENDPOINT=redis://producer:$producer@valkey:6379/0" > producer.env
sed -e "s/>PRODUCER/#$(hash "$producer")/" -e "s/>COLLECTOR/#$(hash "$collector")/" \
  -e "s/>READER/#$(hash "$reader")/" deploy/users.acl.example > deploy/users.acl
chmod 644 deploy/users.acl # the server's own user reads it; it holds no password
echo "made .env, producer.env and deploy/users.acl in $PWD"
