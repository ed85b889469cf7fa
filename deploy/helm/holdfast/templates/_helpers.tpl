{{- define "holdfast.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "holdfast.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "holdfast.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "holdfast.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "holdfast.selector" -}}
app.kubernetes.io/name: {{ include "holdfast.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "holdfast.labels" -}}
{{ include "holdfast.selector" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- end }}

{{- define "holdfast.image" -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) | quote }}
{{- end }}

{{- define "holdfast.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "holdfast.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* One flag with a value, when there is one. */}}
{{- define "holdfast.flag" -}}
{{- if not (or (kindIs "invalid" .value) (eq (toString .value) "")) }}
- {{ printf "--%s=%s" .name (.value | toString) | quote }}
{{- end }}
{{- end }}

{{- /* A whole number as such: values from a file are floating-point numbers. */}}
{{- define "holdfast.count" -}}
{{- if not (kindIs "invalid" .) }}{{ int64 . }}{{ end }}
{{- end }}

{{- /* What the kubelet asks. Its gRPC probe speaks no TLS and sends no token, so that an accepted connection has to do then. */}}
{{- define "holdfast.relayProbe" -}}
{{- if not .Values.relay.tls.secretName -}}
grpc: {port: 7400}
{{- else if not (or .Values.relay.adminTls.secretName .Values.relay.adminToken.secretName) -}}
grpc: {port: 7401}
{{- else -}}
tcpSocket: {port: application}
{{- end }}
{{- end }}
