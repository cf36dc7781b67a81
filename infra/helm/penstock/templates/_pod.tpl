{{/* Kafka's part of an environment: (list root user). */}}
{{- define "penstock.kafkaEnv" -}}
{{- $ := index . 0 -}}
{{- $kafka := $.Values.kafka -}}
- {name: PENSTOCK_KAFKA, value: {{ $kafka.bootstrapServers | quote }}}
- {name: PENSTOCK_KAFKA_PROTOCOL, value: {{ $kafka.protocol }}}
- {name: PENSTOCK_KAFKA_CLIENT, value: {{ $kafka.client }}}
{{- if include "penstock.sasl" $ }}
- {name: PENSTOCK_KAFKA_MECHANISM, value: {{ $kafka.mechanism }}}
- {name: PENSTOCK_KAFKA_USER, value: {{ index . 1 }}}
- {name: PENSTOCK_KAFKA_PASSWORD_FILE, value: /etc/penstock/kafka/password}
{{- end }}
{{- if and $kafka.caSecret (contains "SSL" $kafka.protocol) }}
- {name: PENSTOCK_KAFKA_CA, value: /etc/penstock/kafka-ca/ca.crt}
{{- end }}
{{- end -}}

{{- define "penstock.kafkaMounts" -}}
{{- if include "penstock.sasl" . }}
- {name: kafka, mountPath: /etc/penstock/kafka, readOnly: true}
{{- end }}
{{- if and .Values.kafka.caSecret (contains "SSL" .Values.kafka.protocol) }}
- {name: kafka-ca, mountPath: /etc/penstock/kafka-ca, readOnly: true}
{{- end }}
{{- end -}}

{{/* (list root user) */}}
{{- define "penstock.kafkaVolumes" -}}
{{- $ := index . 0 -}}
{{- if include "penstock.sasl" $ }}
- name: kafka
  secret:
    secretName: {{ $.Values.kafka.secretPrefix }}{{ index . 1 }}
    defaultMode: 0440
    items: [{key: password, path: password}]
{{- end }}
{{- if and $.Values.kafka.caSecret (contains "SSL" $.Values.kafka.protocol) }}
- name: kafka-ca
  secret:
    secretName: {{ $.Values.kafka.caSecret }}
    defaultMode: 0440
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- end -}}

{{- define "penstock.podSecurity" -}}
{{- $security := .Values.podSecurityContext -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}
{{- $security = omit $security "runAsUser" "runAsGroup" "fsGroup" -}}
{{- end -}}
{{- toYaml $security -}}
{{- end -}}

{{- define "penstock.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What pods of services and jobs have in common: (list root its-values). Without `enableServiceLinks: false` Kubernetes would set variables
     like PENSTOCK_GATEWAY_PORT=tcp://… of its own for each Service of a release named penstock. */}}
{{- define "penstock.podCommon" -}}
{{- $ := index . 0 -}}
{{- $own := index . 1 -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "penstock.podSecurity" $ | nindent 2 }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with get $own $key | default (get $.Values $key) }}
{{ $key }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Variables that the user adds to a container: (list root its-values names-that-are-set). */}}
{{- define "penstock.extraEnv" -}}
{{- $own := (index . 1).extraEnv | default list -}}
{{- $names := list -}}
{{- range $own }}{{ $names = append $names .name }}{{ end -}}
{{- range (index . 0).Values.extraEnv }}{{ if not (has .name $names) }}{{ $own = append $own . }}{{ end }}{{ end -}}
{{- $set := index . 2 -}}
{{- range $own -}}
{{- if or (has .name $set) (hasPrefix "PENSTOCK_KAFKA" .name) -}}
{{- fail (printf "extraEnv: the chart itself sets %s" .name) -}}
{{- end -}}
{{- end -}}
{{- with $own -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{/* All variables of a component: (list root name component). One that the chart sets cannot be set again. */}}
{{- define "penstock.env" -}}
{{- $ := index . 0 -}}
{{- $name := index . 1 -}}
{{- $part := index . 2 -}}
{{- $more := (index $.Values.services $name).env | default dict -}}
{{- $ours := hasPrefix "penstock-" (first ($part.command | default (list ""))) -}}
{{- $env := deepCopy ($part.env | default dict) -}}
{{- if and $ours $.Values.otlpEndpoint -}}
{{- $_ := set $env "OTEL_EXPORTER_OTLP_ENDPOINT" $.Values.otlpEndpoint -}}
{{- end -}}
{{- if and $ours (has "observer" $part.calls) -}}
{{- $_ := set $env "PENSTOCK_OBSERVER" (printf "http://%s-observer:8092" (include "penstock.fullname" $)) -}}
{{- end -}}
{{- if and $part.models $.Values.modelsConfigMap -}}
{{- $_ := set $env "PENSTOCK_MODELS_FILE" "/etc/penstock/models/models.toml" -}}
{{- end -}}
{{- range $key := keys $more -}}
{{- if or (hasKey $env $key) (hasKey ($part.secrets | default dict) $key) (hasPrefix "PENSTOCK_KAFKA" $key) (eq $key "PENSTOCK_INSTANCE") -}}
{{- fail (printf "services.%s.env: the chart itself sets %s" $name $key) -}}
{{- end -}}
{{- end -}}
{{- if $ours -}}
{{- if hasKey $env "PENSTOCK_INSTANCE" }}
- name: POD_INDEX
  valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
{{- else }}
- name: PENSTOCK_INSTANCE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- end }}
{{- end }}
{{- if $part.user }}
{{ include "penstock.kafkaEnv" (list $ $part.user) }}
{{- end }}
{{- range $key, $value := merge $env $more }}
- {name: {{ $key }}, value: {{ include "penstock.plain" $value | quote }}}
{{- end }}
{{- range $key, $from := $part.secrets }}
- name: {{ $key }}
  valueFrom: {secretKeyRef: {name: {{ $from.secret }}, key: {{ $from.key }}{{ if $from.optional }}, optional: true{{ end }}}}
{{- end }}
{{- $set := concat (list "POD_INDEX" "PENSTOCK_INSTANCE") (keys $env $more ($part.secrets | default dict)) }}
{{- with include "penstock.extraEnv" (list $ (index $.Values.services $name) $set) }}
{{ . }}
{{- end }}
{{- end -}}

{{/* A value as text: to Helm every number is a float, and a million would be 1e+06. */}}
{{- define "penstock.plain" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The pod of a component: (list root name component). */}}
{{- define "penstock.pod" -}}
{{- $ := index . 0 -}}
{{- $name := index . 1 -}}
{{- $part := index . 2 -}}
{{- $service := index $.Values.services $name -}}
{{- $at := $part.at | default "/var/lib/penstock" -}}
metadata:
  labels:
    {{- include "penstock.labels" (list $ $name) | nindent 4 }}
  annotations:
    penstock.dev/secrets-version: {{ $.Values.secretsVersion | quote }}
    {{- with $service.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "penstock.fullname" $ }}-{{ $name }}
  {{- $affinity := include "penstock.affinity" (list $ $service $part) | fromYaml }}
  {{- include "penstock.podCommon" (list $ (set (deepCopy $service) "affinity" $affinity)) | nindent 2 }}
  # What runs when SIGTERM comes is finished, handed over or cut off in `drain` seconds; the rest is room for a busy node.
  terminationGracePeriodSeconds: {{ add ($part.preStop | default 0) $part.drain 10 }}
  topologySpreadConstraints:
    {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "penstock.selector" (list $ $name) | nindent 10 }}
    {{- end }}
  {{- with $service.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  containers:
    - name: {{ $name }}
      image: {{ $part.image | quote }}
      imagePullPolicy: {{ $.Values.images.pullPolicy }}
      {{- with $part.command }}
      command: {{ toJson . }}
      {{- end }}
      {{- with $part.args }}
      args: {{ toJson . }}
      {{- end }}
      ports:
        {{- range $port, $number := $part.ports }}
        - {name: {{ $port }}, containerPort: {{ $number }}, protocol: TCP}
        {{- end }}
      env:
        {{- include "penstock.env" . | trim | nindent 8 }}
      {{- with $part.probe }}
      startupProbe:
        httpGet: {path: {{ .live }}, port: {{ .port }}}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: {{ div .seconds 5 }}
      readinessProbe:
        httpGet: {path: {{ .ready }}, port: {{ .port }}}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      # Long: a process that is only busy is not to be killed amid its answers.
      livenessProbe:
        httpGet: {path: {{ .live }}, port: {{ .port }}}
        periodSeconds: 10
        timeoutSeconds: 10
        failureThreshold: 6
      {{- end }}
      {{- with $part.preStop }}
      lifecycle:
        preStop: {sleep: {seconds: {{ . }}}}
      {{- end }}
      resources:
        {{- $resources := deepCopy $service.resources }}
        {{- if $part.gpus }}
        {{- $_ := set $resources "limits" (merge (dict "nvidia.com/gpu" (int64 $part.gpus)) $resources.limits) }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      securityContext:
        {{- include "penstock.containerSecurity" $ | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if $part.state }}
        - {name: state, mountPath: {{ $at }}}
        {{- end }}
        {{- if and $part.blobs (not $.Values.blobs.url) }}
        - {name: blobs, mountPath: /var/lib/penstock-blobs}
        {{- end }}
        {{- if $part.sharedMemory }}
        - {name: shared-memory, mountPath: /dev/shm}
        {{- end }}
        {{- if eq $name "gateway" }}
        - {name: first-key, mountPath: /etc/penstock/first-key, readOnly: true}
        {{- end }}
        {{- if and $part.models $.Values.modelsConfigMap }}
        - {name: models, mountPath: /etc/penstock/models, readOnly: true}
        {{- end }}
        {{- if $part.user }}
        {{- include "penstock.kafkaMounts" $ | trim | nindent 8 }}
        {{- end }}
  volumes:
    - {name: tmp, emptyDir: {sizeLimit: 2Gi}}
    {{- if eq ($part.state | default "") "scratch" }}
    - {name: state, emptyDir: {sizeLimit: 4Gi}}
    {{- end }}
    {{- if and $part.blobs (not $.Values.blobs.url) }}
    - name: blobs
      persistentVolumeClaim: {claimName: {{ $.Values.blobs.volume.existingClaim | default (printf "%s-blobs" (include "penstock.fullname" $)) }}}
    {{- end }}
    {{- with $part.sharedMemory }}
    - {name: shared-memory, emptyDir: {medium: Memory, sizeLimit: {{ . }}}}
    {{- end }}
    {{- if eq $name "gateway" }}
    - name: first-key
      secret:
        secretName: {{ $.Values.gateway.firstKeySecret }}
        defaultMode: 0440
        items: [{key: api-key, path: api-key}]
    {{- end }}
    {{- if and $part.models $.Values.modelsConfigMap }}
    - name: models
      configMap:
        name: {{ $.Values.modelsConfigMap }}
        items: [{key: models.toml, path: models.toml}]
    {{- end }}
    {{- if $part.user }}
    {{- include "penstock.kafkaVolumes" (list $ $part.user) | trim | nindent 4 }}
    {{- end }}
{{- end -}}
