{{- define "mcp-operator.labels" -}}
app.kubernetes.io/name: mcp-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mcp-operator.metadata" -}}
labels:
  {{- include "mcp-operator.labels" . | nindent 2 }}
  app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
  app.kubernetes.io/managed-by: {{ .Release.Service }}
  helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "mcp-operator.image" -}}
{{- $image := index .Values.images .name -}}
{{- if not $image }}{{ fail (printf "images.%s is not set: give an image such as registry.example.com/toolman/%s:0.1.0" .name .name) }}{{ end -}}
{{- $image -}}
{{- end }}

{{- define "mcp-operator.registry" -}}
{{- if not .Values.registry }}{{ fail "registry is not set: give the registry for built images as the engine and the nodes name it, such as registry.example.com" }}{{ end -}}
{{- .Values.registry -}}
{{- end }}

{{- define "mcp-operator.socketGroup" -}}
{{- if kindIs "invalid" .Values.engine.socketGroup }}{{ fail (printf "engine.socketGroup is not set: give the group that owns the engine's socket on the node, the output of: stat -c %%g %s" .Values.engine.socket) }}{{ end -}}
{{- int64 .Values.engine.socketGroup -}}
{{- end }}

{{- define "mcp-operator.served" -}}
{{- with .Values.watchNamespaces -}}
namespaceSelector:
  matchExpressions:
  - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson . }}}
{{- else -}}
namespaceSelector: {}
{{- end }}
{{- end }}

{{- /* Two installations in one cluster would undo each other's work: the second one is refused, with the first one named. */}}
{{- define "mcp-operator.alone" -}}
{{- $found := dig "metadata" "annotations" dict (lookup "rbac.authorization.k8s.io/v1" "ClusterRoleBinding" "" "mcp-operator-guard" | default dict) -}}
{{- $release := index $found "meta.helm.sh/release-name" | default .Release.Name -}}
{{- $namespace := index $found "meta.helm.sh/release-namespace" | default (index $found "toolman.dev/operator-namespace") | default .Release.Namespace -}}
{{- if or (ne $release .Release.Name) (ne $namespace .Release.Namespace) -}}
{{- fail (printf "this cluster has an mcp-operator already: release %s in namespace %s. One installation serves a cluster, also with watchNamespaces: upgrade that one (helm upgrade %s ... -n %s), or uninstall it first (helm uninstall %s -n %s)" $release $namespace $release $namespace $release $namespace) -}}
{{- end -}}
{{- end }}
