{{- define "penstock.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes of a component's labels: (list root component). */}}
{{- define "penstock.selector" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ default $.Chart.Name $.Values.nameOverride }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "penstock.labels" -}}
{{- $ := index . 0 -}}
{{ include "penstock.selector" . }}
app.kubernetes.io/version: {{ $.Values.images.tag | default $.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: penstock
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version }}
{{- end -}}

{{/* One of our images: (list root name). */}}
{{- define "penstock.image" -}}
{{- $ := index . 0 -}}
{{ $.Values.images.registry }}/{{ index . 1 }}:{{ $.Values.images.tag | default $.Chart.AppVersion }}
{{- end -}}

{{/* Ports in a list of URLs or host:port, with commas between them, as JSON; those without have their scheme's. */}}
{{- define "penstock.portsOf" -}}
{{- $ports := list -}}
{{- range splitList "," . -}}
{{- $host := regexReplaceAll "^([a-z0-9+]+://)?([^/]*).*$" (trim .) "${2}" -}}
{{- $port := regexFind ":[0-9]+$" $host | trimPrefix ":" -}}
{{- $ports = append $ports (int (default (ternary "80" "443" (contains "http://" .)) $port)) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* The component of this chart that serves text, or embeddings, or nothing. */}}
{{- define "penstock.textServer" -}}
{{- if not .Values.backends -}}
{{- if .Values.tgi.enabled }}tgi{{ else if .Values.inference.enabled }}inference{{ end -}}
{{- end -}}
{{- end -}}

{{- define "penstock.embeddingsServer" -}}
{{- if not .Values.embeddings -}}
{{- if .Values.tei.enabled }}tei{{ else if .Values.inference.enabled }}inference{{ end -}}
{{- end -}}
{{- end -}}

{{/* PENSTOCK_BACKENDS. Each pod is a backend of its own, so that generation knows the free slots of each and shares
     requests out; one that is not there is away, as one is that is down. */}}
{{- define "penstock.backends" -}}
{{- $server := include "penstock.textServer" . -}}
{{- if $server -}}
{{- $name := printf "%s-%s" (include "penstock.fullname" .) $server -}}
{{- $service := index .Values.services $server -}}
{{- $auto := $service.autoscaling -}}
{{- $count := ternary (int $auto.max) (int $service.replicas) $auto.enabled -}}
{{- $urls := list -}}
{{- range $number := until $count -}}
{{- $urls = append $urls (printf "tgi+http://%s-%d.%s:%s" $name $number $name (include "penstock.modelPort" $server)) -}}
{{- end -}}
{{- join "," $urls -}}
{{- else -}}
{{- join "," .Values.backends -}}
{{- end -}}
{{- end -}}

{{- define "penstock.modelPort" -}}{{ ternary "8093" "8080" (eq . "inference") }}{{- end -}}

{{- define "penstock.embeddings" -}}
{{- $server := include "penstock.embeddingsServer" . -}}
{{- if $server -}}
http://{{ include "penstock.fullname" . }}-{{ $server }}:{{ include "penstock.modelPort" $server }}{{ if eq $server "inference" }}/tei{{ end }}
{{- else -}}
{{ .Values.embeddings }}
{{- end -}}
{{- end -}}

{{/* Whether the text server's pods may all be gone. */}}
{{- define "penstock.toZero" -}}
{{- $server := include "penstock.textServer" . -}}
{{- if and $server .Values.keda.enabled -}}
{{- $auto := (index .Values.services $server).autoscaling -}}
{{- if and $auto.enabled (eq (int $auto.min) 0) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- define "penstock.sasl" -}}
{{- if hasPrefix "SASL" .Values.kafka.protocol }}true{{ end -}}
{{- end -}}

{{/* Of the files' volume: those of the claim that is there, since they cannot be changed, else as the values say. */}}
{{- define "penstock.blobsAccessModes" -}}
{{- $volume := .Values.blobs.volume -}}
{{- $claim := lookup "v1" "PersistentVolumeClaim" .Release.Namespace ($volume.existingClaim | default (printf "%s-blobs" (include "penstock.fullname" .))) -}}
{{- ($claim.spec).accessModes | default (list $volume.accessMode) | toJson -}}
{{- end -}}

{{/* A service's affinity: (list root its-values component). Those that share a volume of one node are on that node. */}}
{{- define "penstock.affinity" -}}
{{- $ := index . 0 -}}
{{- $affinity := deepCopy ((index . 1).affinity | default $.Values.affinity) -}}
{{- if and (index . 2).blobs (not $.Values.blobs.url) (not (contains "ReadWriteMany" (include "penstock.blobsAccessModes" $))) -}}
{{- $labels := omit (include "penstock.selector" (list $ "") | fromYaml) "app.kubernetes.io/component" -}}
{{- $component := dict "key" "app.kubernetes.io/component" "operator" "In" "values" (list "ingestion" "ingestion-worker") -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" $labels "matchExpressions" (list $component)) -}}
{{- $pods := $affinity.podAffinity | default dict -}}
{{- $key := "requiredDuringSchedulingIgnoredDuringExecution" -}}
{{- $_ := set $pods $key (append (get $pods $key | default list) $term) -}}
{{- $_ := set $affinity "podAffinity" $pods -}}
{{- end -}}
{{- toYaml $affinity -}}
{{- end -}}
