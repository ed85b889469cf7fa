{{- define "holdfast.relayArgs" -}}
{{- with .Values.relay -}}
- relay
- --listen=0.0.0.0:7400
- --admin-listen=0.0.0.0:7401
{{- include "holdfast.flag" (dict "name" "trusted-networks" "value" (join "," .trustedNetworks)) }}
{{- include "holdfast.flag" (dict "name" "applications" "value" (join "," .applications)) }}
{{- include "holdfast.flag" (dict "name" "heartbeat-interval" "value" .heartbeatInterval) }}
{{- include "holdfast.flag" (dict "name" "park-time" "value" .parkTime) }}
{{- include "holdfast.flag" (dict "name" "migration-timeout" "value" .migrationTimeout) }}
{{- include "holdfast.flag" (dict "name" "slow-client-timeout" "value" .slowClientTimeout) }}
{{- include "holdfast.flag" (dict "name" "reload-deadline" "value" .reloadDeadline) }}
{{- include "holdfast.flag" (dict "name" "window-bytes" "value" (include "holdfast.count" .windowBytes)) }}
{{- include "holdfast.flag" (dict "name" "max-message-bytes" "value" (include "holdfast.count" .maxMessageBytes)) }}
{{- include "holdfast.flag" (dict "name" "max-moves-in-flight" "value" (include "holdfast.count" .maxMovesInFlight)) }}
{{- include "holdfast.flag" (dict "name" "shutdown-grace" "value" (printf "%ds" (int64 .shutdownGraceSeconds))) }}
- --log-format=json
{{- include "holdfast.flag" (dict "name" "log-level" "value" .logLevel) }}
{{- if .insecure }}
- --insecure
{{- end }}
{{- if .pprof }}
- --pprof
{{- end }}
{{- if .tls.secretName }}
- --tls-cert=/etc/holdfast/tls/tls.crt
- --tls-key=/etc/holdfast/tls/tls.key
{{- end }}
{{- if .adminTls.secretName }}
- --admin-tls-cert=/etc/holdfast/admin-tls/tls.crt
- --admin-tls-key=/etc/holdfast/admin-tls/tls.key
{{- end }}
{{- if .adminToken.secretName }}
- --admin-token-file=/etc/holdfast/admin-token/{{ .adminToken.key }}
{{- end }}
{{- if .serverCA.secretName }}
- --server-ca=/etc/holdfast/server-ca/{{ .serverCA.key }}
{{- end }}
{{- if .serverIdentities }}
- --server-identities=/etc/holdfast/server-identities/identities
{{- end }}
{{- include "holdfast.flag" (dict "name" "jwt-jwks" "value" .jwt.jwksUrl) }}
{{- if .jwt.jwksSecret.secretName }}
- --jwt-jwks=/etc/holdfast/jwks/{{ .jwt.jwksSecret.key }}
{{- end }}
{{- if .jwt.keySecret.secretName }}
- --jwt-key=/etc/holdfast/jwt-key/{{ .jwt.keySecret.key }}
{{- end }}
{{- include "holdfast.flag" (dict "name" "jwt-issuer" "value" .jwt.issuer) }}
{{- include "holdfast.flag" (dict "name" "jwt-audience" "value" .jwt.audience) }}
{{- if .resumeKeys.secretName }}
- --resume-key-file=/etc/holdfast/resume-keys/{{ .resumeKeys.key }}
{{- end }}
{{- include "holdfast.flag" (dict "name" "resume-time" "value" .resumeTime) }}
{{- include "holdfast.flag" (dict "name" "resume-token-time" "value" .resumeTokenTime) }}
{{- include "holdfast.flag" (dict "name" "reconnect-window" "value" .reconnectWindow) }}
{{- include "holdfast.flag" (dict "name" "max-connections" "value" (include "holdfast.count" .limits.maxConnections)) }}
{{- include "holdfast.flag" (dict "name" "max-connections-per-address" "value" (include "holdfast.count" .limits.maxConnectionsPerAddress)) }}
{{- include "holdfast.flag" (dict "name" "max-connections-per-identity" "value" (include "holdfast.count" .limits.maxConnectionsPerIdentity)) }}
{{- include "holdfast.flag" (dict "name" "connection-rate" "value" .limits.connectionRate) }}
{{- include "holdfast.flag" (dict "name" "message-rate" "value" .limits.messageRate) }}
{{- range .extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The secrets that the relay reads: for each the name of its volume, as JSON. */}}
{{- define "holdfast.relaySecrets" -}}
{{- with .Values.relay -}}
{{- $all := list
  (dict "name" "tls" "secret" .tls.secretName)
  (dict "name" "admin-tls" "secret" .adminTls.secretName)
  (dict "name" "admin-token" "secret" .adminToken.secretName)
  (dict "name" "server-ca" "secret" .serverCA.secretName)
  (dict "name" "jwks" "secret" .jwt.jwksSecret.secretName)
  (dict "name" "jwt-key" "secret" .jwt.keySecret.secretName)
  (dict "name" "resume-keys" "secret" .resumeKeys.secretName) }}
{{- $all | toJson }}
{{- end }}
{{- end }}
