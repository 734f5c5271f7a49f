{{/* Name of most objects: the release's, with the chart's if it is another. */}}
{{- define "cluster-gateway.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cluster-gateway.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "cluster-gateway.fullname" .) -}}
{{- end -}}

{{- define "cluster-gateway.tlsSecretName" -}}
{{- .Values.tls.existingSecret | default (printf "%s-tls" (include "cluster-gateway.fullname" .)) -}}
{{- end -}}

{{- define "cluster-gateway.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cluster-gateway.labels" -}}
{{ include "cluster-gateway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}
