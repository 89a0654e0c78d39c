{{- define "tunesmith.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tunesmith.fullname" -}}
{{- $name := include "tunesmith.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tunesmith.selector" -}}
app.kubernetes.io/name: {{ include "tunesmith.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "tunesmith.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "tunesmith.selector" . }}
{{- end }}

{{- define "tunesmith.account" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "tunesmith.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "tunesmith.trainingNamespace" -}}
{{- default .Release.Namespace .Values.training.namespace }}
{{- end }}

{{- define "tunesmith.artifactsClaim" -}}
{{- default (printf "%s-artifacts" (include "tunesmith.fullname" .)) .Values.artifacts.volume.existingClaim }}
{{- end }}

{{- define "tunesmith.homeClaim" -}}
{{- default (printf "%s-home" (include "tunesmith.fullname" .)) .Values.home.existingClaim }}
{{- end }}

{{- define "tunesmith.hasFiles" -}}
{{- if or .Values.training.podOverlay .Values.training.places (include "tunesmith.servingOverlay" .) }}yes{{ end }}
{{- end }}

{{- define "tunesmith.servingOverlay" -}}
{{- if and .Values.serving.enabled .Values.serving.podOverlay }}yes{{ end }}
{{- end }}

{{- /* Where people reach it; empty: nobody said. */ -}}
{{- define "tunesmith.publicUrl" -}}
{{- if .Values.web.publicUrl }}
{{- .Values.web.publicUrl }}
{{- else if .Values.ingress.enabled }}
{{- printf "http%s://%s" (ternary "s" "" (not (empty .Values.ingress.tlsSecret))) .Values.ingress.host }}
{{- end }}
{{- end }}

{{- /* How the kubelet asks: the server may listen on localhost alone. */ -}}
{{- define "tunesmith.health" -}}
{{- if .Values.web.openEndpoint -}}
httpGet:
  path: /health
  port: web
{{- else -}}
exec:
  command:
    - python
    - -ISc
    - |
      from http.client import HTTPConnection
      server = HTTPConnection("127.0.0.1", 8000, timeout=4)
      server.request("GET", "/health")
      raise SystemExit(server.getresponse().status != 200)
{{- end }}
{{- end }}

{{- define "tunesmith.check" -}}
{{- if and .Values.ingress.enabled (not .Values.web.openEndpoint) }}
{{- fail "The Ingress would lead nowhere: the server listens on 127.0.0.1 of its pod alone; see web.openEndpoint." }}
{{- end }}
{{- $elsewhere := ne (include "tunesmith.trainingNamespace" .) .Release.Namespace }}
{{- if and $elsewhere (not .Values.artifacts.bucket) (not .Values.training.claim) }}
{{- fail "A volume's claim cannot be mounted from another namespace: with training.namespace set artifacts.bucket, or training.claim (a claim over there on the same files)." }}
{{- end }}
{{- end }}

{{- /* An environment variable from a Secret: (list NAME secret key). */ -}}
{{- define "tunesmith.fromSecret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end }}

{{- /* A claim: (list root name values). It outlives the release: what was learned is on it. */ -}}
{{- define "tunesmith.claim" -}}
{{- $root := index . 0 }}
{{- $claim := index . 2 }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "tunesmith.labels" $root | nindent 4 }}
  annotations:
    helm.sh/resource-policy: keep
spec:
  accessModes: [{{ $claim.accessMode }}]
  {{- with $claim.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ $claim.size }}
{{ end }}
