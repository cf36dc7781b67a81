{{/* What values.schema.json cannot say, since it takes several values together. */}}
{{- define "penstock.check" -}}
{{- $v := .Values -}}
{{- if not (include "penstock.backends" .) -}}
{{- fail "no model server: set backends, or switch on tgi.enabled or inference.enabled" -}}
{{- end -}}
{{- if not (include "penstock.embeddings" . | trim) -}}
{{- fail "no embeddings server: set embeddings, or switch on tei.enabled or inference.enabled" -}}
{{- end -}}
{{- if and $v.keda.enabled (not $v.keda.prometheus.url) -}}
{{- fail "keda.enabled needs keda.prometheus.url: the lag in tokens is a metric" -}}
{{- end -}}
{{- if and (include "penstock.toZero" .) (not $v.models) -}}
{{- fail "backends that go to zero cannot be asked for their models: name them in models" -}}
{{- end -}}
{{- if and $v.monitoring.podMonitor $v.networkPolicy.enabled (not $v.networkPolicy.metricsFrom) -}}
{{- fail "monitoring.podMonitor needs networkPolicy.metricsFrom: nobody may fetch metrics otherwise" -}}
{{- end -}}
{{- range $name, $service := $v.services -}}
{{- with $service.autoscaling -}}
{{- if and .enabled (gt (int .min) (int .max)) -}}
{{- fail (printf "services.%s.autoscaling: min is more than max" $name) -}}
{{- end -}}
{{- if and .enabled (lt (int .min) 1) (not $v.keda.enabled) -}}
{{- fail (printf "services.%s.autoscaling.min: 0 needs keda.enabled" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "tgi" "tei" -}}
{{- $own := index $v $name -}}
{{- if and $own.enabled (not $own.model) -}}
{{- fail (printf "%s.enabled needs %s.model" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- fail "ingress.enabled needs ingress.host" -}}
{{- end -}}
{{- end -}}
