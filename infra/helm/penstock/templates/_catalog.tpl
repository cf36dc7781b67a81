{{/*
What there is, and what each part needs: the one place to add a service. Keys of a component:

  kind       Deployment or StatefulSet; replicas, resources and so on are values (services.<name>)
  image      command, args   user: its name at Kafka, if it speaks to it
  ports      name: number; those in `served` are a Service's
  metrics    the port with /metrics
  probe      port, live, ready, seconds (how long a start may take)
  drain      seconds from SIGTERM to the end; preStop: seconds before it, in which clients learn that it goes
  state      volume (a claim of its own), scratch (gone with the pod) or none; at: where
  env        name: value            secrets: name: {secret, key, optional}
  calls      components that it asks   outside: what it asks beside them (networkPolicy.outside)
  scale      what it is scaled by, with KEDA: kafka {group, topic}, prometheus {query, target}
  models     it reads models.toml (modelsConfigMap)
  single     never two at once, not even while one replaces the other
  gpus, sharedMemory
*/}}
{{- define "penstock.catalog" -}}
{{- $name := include "penstock.fullname" . -}}
{{- $v := .Values -}}
{{- $text := include "penstock.textServer" . -}}
{{- $embeddings := include "penstock.embeddingsServer" . -}}
{{- $backends := include "penstock.backends" . -}}
{{- $seconds := 300 -}}
{{- $toText := ternary (list $text) list (ne $text "") -}}
{{- $toEmbeddings := ternary (list $embeddings) list (ne $embeddings "") -}}
{{- $textOutside := ternary (list "backends") list (eq $text "") -}}
{{- $embeddingsOutside := ternary (list "embeddings") list (eq $embeddings "") -}}
{{- $observer := ternary (list "observer") list $v.observer.enabled -}}
{{- $otlp := ternary (list "otlp") list (ne $v.otlpEndpoint "") -}}
{{- $qdrant := ternary (list "qdrant") list (ne $v.qdrant.url "") -}}
{{- $blobs := ternary (list "blobs") list (ne $v.blobs.url "") -}}
{{- $labels := $v.keda.prometheus.selector | default (printf "namespace=%q" .Release.Namespace) -}}
gateway:
  kind: Deployment
  image: {{ include "penstock.image" (list . "gateway") }}
  command: [penstock-gateway]
  user: gateway
  ports: {http: 8080}
  served: [http]
  metrics: http
  probe: {port: http, live: /livez, ready: /readyz, seconds: {{ $seconds }}}
  preStop: 5
  drain: {{ add $v.gateway.drainSeconds 3 }}
  state: scratch
  env:
    PENSTOCK_STATE: /var/lib/penstock
    PENSTOCK_GATEWAY_HOST: 0.0.0.0
    PENSTOCK_GATEWAY_PORT: "8080"
    # Without it each new pod would make an operator's key of its own.
    PENSTOCK_FIRST_KEY_FILE: /etc/penstock/first-key/api-key
    PENSTOCK_BACKENDS: {{ $backends | quote }}
    PENSTOCK_INGESTION: http://{{ $name }}-ingestion:8090
    PENSTOCK_DRAIN_S: {{ $v.gateway.drainSeconds | quote }}
    PENSTOCK_REQUEST_TIMEOUT_S: {{ $v.requestTimeoutSeconds | quote }}
    PENSTOCK_ANSWERS: {{ $v.answers | quote }}
    PENSTOCK_RETENTION_HOURS: {{ $v.retentionHours | quote }}
    {{- if $v.models }}
    PENSTOCK_MODELS: {{ join "," $v.models | quote }}
    {{- end }}
  secrets:
    PENSTOCK_ACCOUNTS_DB: {secret: {{ $v.databases.accounts.existingSecret | quote }}, key: {{ $v.databases.accounts.key }}}
    {{- if $v.backendsSecret }}
    PENSTOCK_BACKEND_KEY: {secret: {{ $v.backendsSecret | quote }}, key: api-key}
    {{- end }}
    {{- if $v.observer.enabled }}
    {{- include "penstock.observerKey" . | nindent 4 }}
    {{- end }}
  calls: {{ concat (list "ingestion") $observer $toText | toJson }}
  outside: {{ concat (list "kafka" "accounts") $textOutside $otlp | toJson }}
  scale:
    - prometheus: {query: 'sum(penstock_gateway_requests_open{ {{- $labels -}} })', target: openRequests}

tokenization:
  kind: Deployment
  image: {{ include "penstock.image" (list . "tokenization") }}
  command: [penstock-tokenization]
  user: tokenization
  models: true
  ports: {health: 8081}
  metrics: health
  probe: {port: health, live: /livez, ready: /readyz, seconds: {{ $seconds }}}
  drain: 12
  env:
    PENSTOCK_HEALTH_HOST: 0.0.0.0
    PENSTOCK_HEALTH_PORT: "8081"
    PENSTOCK_BACKENDS: {{ $backends | quote }}
    # A backend may have to start first: who asks decides how long that may take.
    PENSTOCK_BACKEND_WAIT_SECONDS: {{ $v.requestTimeoutSeconds | quote }}
  secrets:
    {{- if $v.backendsSecret }}
    PENSTOCK_BACKEND_KEY: {secret: {{ $v.backendsSecret | quote }}, key: api-key}
    {{- end }}
  calls: {{ concat $observer $toText | toJson }}
  outside: {{ concat (list "kafka") $textOutside $otlp | toJson }}
  scale:
    - kafka: {group: tokenization, topic: chat.requests}

# Always a StatefulSet: one replica, known by its name, says what is indexed, and writes to a Qdrant server.
retrieval:
  kind: StatefulSet
  image: {{ include "penstock.image" (list . "retrieval") }}
  command: [penstock-retrieval]
  user: retrieval
  models: true
  ports: {health: 8081, search: 8091}
  served: [search]
  metrics: health
  probe: {port: health, live: /livez, ready: /readyz, seconds: {{ $seconds }}}
  preStop: 5
  drain: 15
  state: {{ ternary "volume" "scratch" (eq $v.qdrant.url "") }}
  env:
    PENSTOCK_HEALTH_HOST: 0.0.0.0
    PENSTOCK_HEALTH_PORT: "8081"
    PENSTOCK_STATE: /var/lib/penstock
    PENSTOCK_SEARCH_HOST: 0.0.0.0
    PENSTOCK_SEARCH_PORT: "8091"
    PENSTOCK_EMBEDDINGS: {{ include "penstock.embeddings" . | quote }}
    PENSTOCK_EMBEDDING_SIZE: {{ $v.embeddingSize | quote }}
    # Its consumer groups begin so, and the ACLs with them.
    PENSTOCK_INSTANCE: retrieval-$(POD_INDEX)
    PENSTOCK_ANNOUNCER: retrieval-0
    {{- if $v.qdrant.url }}
    PENSTOCK_QDRANT: {{ $v.qdrant.url | quote }}
    {{- end }}
  secrets:
    {{- if and $v.qdrant.url $v.qdrant.existingSecret }}
    PENSTOCK_QDRANT_API_KEY: {secret: {{ $v.qdrant.existingSecret | quote }}, key: api-key}
    {{- end }}
    {{- if $v.embeddingsSecret }}
    PENSTOCK_EMBEDDINGS_KEY: {secret: {{ $v.embeddingsSecret | quote }}, key: api-key}
    {{- end }}
  calls: {{ concat $observer $toEmbeddings | toJson }}
  outside: {{ concat (list "kafka") $embeddingsOutside $qdrant $otlp | toJson }}
  scale:
    - kafka: {group: retrieval, topic: chat.tokenized}

generation:
  kind: Deployment
  image: {{ include "penstock.image" (list . "generation") }}
  command: [penstock-generation]
  user: generation
  models: true
  ports: {health: 8081}
  metrics: health
  probe: {port: health, live: /livez, ready: /readyz, seconds: {{ $seconds }}}
  drain: 12
  env:
    PENSTOCK_HEALTH_HOST: 0.0.0.0
    PENSTOCK_HEALTH_PORT: "8081"
    PENSTOCK_BACKENDS: {{ $backends | quote }}
  secrets:
    {{- if $v.backendsSecret }}
    PENSTOCK_BACKEND_KEY: {secret: {{ $v.backendsSecret | quote }}, key: api-key}
    {{- end }}
  calls: {{ concat $observer $toText | toJson }}
  outside: {{ concat (list "kafka") $textOutside $otlp | toJson }}
  scale:
    - kafka: {group: generation, topic: chat.retrieved}
    - prometheus: {query: 'sum(penstock_consumer_lag_tokens{ {{- $labels -}} })', target: tokens}

postprocessing:
  kind: Deployment
  image: {{ include "penstock.image" (list . "postprocessing") }}
  command: [penstock-postprocessing]
  user: postprocessing
  ports: {health: 8081}
  metrics: health
  probe: {port: health, live: /livez, ready: /readyz, seconds: {{ $seconds }}}
  drain: 12
  env:
    PENSTOCK_HEALTH_HOST: 0.0.0.0
    PENSTOCK_HEALTH_PORT: "8081"
  calls: {{ $observer | toJson }}
  outside: {{ concat (list "kafka") $otlp | toJson }}
  # Kafka's own lag is of no use: all that it has read of open answers is uncommitted.
  scale:
    - prometheus: {query: 'sum(penstock_consumer_lag{ {{- $labels -}} ,messaging_consumer_group_name="postprocessing"})', target: records}

ingestion:
  kind: Deployment
  single: true
  image: {{ include "penstock.image" (list . "ingestion") }}
  command: [penstock-ingestion]
  user: ingestion
  ports: {health: 8081, http: 8090}
  served: [http]
  metrics: health
  probe: {port: health, live: /livez, ready: /readyz, seconds: {{ $seconds }}}
  preStop: 5
  drain: 15
  state: scratch
  blobs: true
  env:
    PENSTOCK_HEALTH_HOST: 0.0.0.0
    PENSTOCK_HEALTH_PORT: "8081"
    PENSTOCK_INGESTION_HOST: 0.0.0.0
    PENSTOCK_INGESTION_PORT: "8090"
    PENSTOCK_RETRIEVAL: http://{{ $name }}-retrieval:8091
    {{- include "penstock.ingestionEnv" . | nindent 4 }}
  secrets:
    {{- include "penstock.ingestionSecrets" . | nindent 4 }}
  calls: {{ concat (list "retrieval") $observer | toJson }}
  outside: {{ concat (list "kafka" "documents" "redis") $blobs $otlp | toJson }}

ingestion-worker:
  kind: Deployment
  image: {{ include "penstock.image" (list . "ingestion") }}
  command: [penstock-ingestion-worker]
  user: ingestion
  ports: {health: 8081}
  metrics: health
  probe: {port: health, live: /livez, ready: /readyz, seconds: {{ $seconds }}}
  drain: 12
  state: scratch
  blobs: true
  env:
    PENSTOCK_HEALTH_HOST: 0.0.0.0
    PENSTOCK_HEALTH_PORT: "8081"
    PENSTOCK_BACKENDS: {{ $backends | quote }}
    PENSTOCK_EMBEDDINGS: {{ include "penstock.embeddings" . | quote }}
    PENSTOCK_EMBEDDING_SIZE: {{ $v.embeddingSize | quote }}
    {{- include "penstock.ingestionEnv" . | nindent 4 }}
  secrets:
    {{- include "penstock.ingestionSecrets" . | nindent 4 }}
    {{- if $v.backendsSecret }}
    PENSTOCK_BACKEND_KEY: {secret: {{ $v.backendsSecret | quote }}, key: api-key}
    {{- end }}
    {{- if $v.embeddingsSecret }}
    PENSTOCK_EMBEDDINGS_KEY: {secret: {{ $v.embeddingsSecret | quote }}, key: api-key}
    {{- end }}
  calls: {{ concat $observer $toText $toEmbeddings | uniq | toJson }}
  outside: {{ concat (list "kafka" "documents" "redis") $textOutside $embeddingsOutside $blobs $otlp | toJson }}
  # It reads no topic: its records are rows, which the app counts.
  scale:
    - prometheus: {query: 'sum(penstock_ingestion_jobs{ {{- $labels -}} ,penstock_state="queued"})', target: documents}
{{ if $v.observer.enabled }}
observer:
  kind: StatefulSet
  image: {{ include "penstock.image" (list . "observer") }}
  command: [penstock-observer]
  user: observer
  ports: {http: 8092}
  served: [http]
  metrics: http
  probe: {port: http, live: /livez, ready: /readyz, seconds: {{ $seconds }}}
  drain: 6
  state: volume
  env:
    PENSTOCK_STATE: /var/lib/penstock
    PENSTOCK_OBSERVER_HOST: 0.0.0.0
    PENSTOCK_OBSERVER_PORT: "8092"
  secrets:
    {{- include "penstock.observerKey" . | nindent 4 }}
  calls: []
  outside: {{ concat (list "kafka") $otlp | toJson }}
{{ end }}
{{ if $v.inference.enabled }}
inference:
  kind: StatefulSet
  headless: true
  image: {{ include "penstock.image" (list . "inference") }}
  command: [penstock-inference]
  ports: {http: 8093}
  served: [http]
  metrics: http
  probe: {port: http, live: /livez, ready: /readyz, seconds: {{ $seconds }}}
  preStop: 5
  drain: {{ add $v.inference.drainSeconds 5 }}
  state: scratch
  env:
    PENSTOCK_INFERENCE_HOST: 0.0.0.0
    PENSTOCK_INFERENCE_PORT: "8093"
    PENSTOCK_INFERENCE_DRAIN_SECONDS: {{ $v.inference.drainSeconds | quote }}
    PENSTOCK_MODEL_CACHE: /var/lib/penstock/models
  calls: {{ $observer | toJson }}
  outside: {{ $otlp | toJson }}
  scale: {{- include "penstock.backendScale" (list . $labels) | nindent 4 }}
{{ end }}
{{ if $v.tgi.enabled }}
tgi:
  {{- include "penstock.huggingFace" (list . "tgi" $v.tgi) | nindent 2 }}
  args: {{ concat (list "--model-id" $v.tgi.model "--port" "8080" "--num-shard" (toString (max 1 (int $v.tgi.gpus)))) $v.tgi.args | toJson }}
  scale: {{- include "penstock.backendScale" (list . $labels) | nindent 4 }}
{{ end }}
{{ if $v.tei.enabled }}
tei:
  {{- include "penstock.huggingFace" (list . "tei" $v.tei) | nindent 2 }}
  args: {{ concat (list "--model-id" $v.tei.model "--port" "8080") $v.tei.args | toJson }}
{{ end }}
{{- end -}}

{{/* Optional, so that an upgrade from a release without this Secret goes through; the views stay closed until it is there. */}}
{{- define "penstock.observerKey" -}}
PENSTOCK_OBSERVER_KEY: {secret: {{ .Values.observer.keySecret | quote }}, key: key, optional: true}
{{- end -}}

{{/* Of the ingestion app and its workers. */}}
{{- define "penstock.ingestionEnv" -}}
PENSTOCK_STATE: /var/lib/penstock
PENSTOCK_BLOBS: {{ .Values.blobs.url | default "file:///var/lib/penstock-blobs" | quote }}
{{- if .Values.blobs.region }}
AWS_REGION: {{ .Values.blobs.region | quote }}
{{- end }}
{{- if .Values.blobs.endpoint }}
AWS_ENDPOINT_URL: {{ .Values.blobs.endpoint | quote }}
AWS_ALLOW_HTTP: {{ hasPrefix "http://" .Values.blobs.endpoint | quote }}
{{- end }}
{{- end -}}

{{- define "penstock.ingestionSecrets" -}}
PENSTOCK_DOCUMENTS_DB: {secret: {{ .Values.databases.documents.existingSecret | quote }}, key: {{ .Values.databases.documents.key }}}
PENSTOCK_CELERY_BROKER: {secret: {{ .Values.redis.existingSecret | quote }}, key: {{ .Values.redis.key }}}
{{- if and .Values.blobs.url .Values.blobs.existingSecret }}
AWS_ACCESS_KEY_ID: {secret: {{ .Values.blobs.existingSecret | quote }}, key: AWS_ACCESS_KEY_ID}
AWS_SECRET_ACCESS_KEY: {secret: {{ .Values.blobs.existingSecret | quote }}, key: AWS_SECRET_ACCESS_KEY}
{{- end }}
{{- end -}}

{{/* A server of Hugging Face's: (list root name its-values). Caches lie where a user without a name may write. */}}
{{- define "penstock.huggingFace" -}}
{{- $ := index . 0 -}}
{{- $own := index . 2 -}}
kind: StatefulSet
headless: true
image: {{ $own.image | quote }}
ports: {http: 8080}
served: [http]
metrics: http
probe: {port: http, live: /health, ready: /health, seconds: {{ int64 $own.startSeconds }}}
preStop: 5
drain: {{ int64 $own.drainSeconds }}
state: volume
at: /data
env:
  HOME: /tmp
  HF_HOME: /data
  HUGGINGFACE_HUB_CACHE: /data
  TRITON_CACHE_DIR: /tmp/triton
  {{- if not $own.download }}
  HF_HUB_OFFLINE: "1"
  {{- end }}
{{- if $own.tokenSecret }}
secrets:
  HF_TOKEN: {secret: {{ $own.tokenSecret | quote }}, key: token}
{{- end }}
calls: []
outside: {{ ternary (list "hub") list $own.download | toJson }}
gpus: {{ int64 $own.gpus }}
sharedMemory: {{ $own.sharedMemory }}
{{- end -}}

{{/* Questions anywhere before an answer wake a backend, since tokenization asks it first, and documents, whose tokens it
     counts. What generation has in hand is not committed and so counts as well: a backend that writes does not go.
     (list root labels) */}}
{{- define "penstock.backendScale" -}}
- kafka: {group: tokenization, topic: chat.requests}
- kafka: {group: retrieval, topic: chat.tokenized}
- kafka: {group: generation, topic: chat.retrieved}
- prometheus: {query: 'sum(penstock_consumer_lag_tokens{ {{- index . 1 -}} })', target: tokens}
- prometheus: {query: 'sum(penstock_ingestion_jobs{ {{- index . 1 -}} })', target: records}
{{- end -}}
