{{- define "trainyard.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "trainyard.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "trainyard.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "trainyard.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Name of objects without a namespace: two releases with the same name must not share them. Neither part can contain a colon. */}}
{{- define "trainyard.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "trainyard.fullname" .) }}
{{- end }}

{{- define "trainyard.selectorLabels" -}}
app.kubernetes.io/name: {{ include "trainyard.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "trainyard.labels" -}}
{{ include "trainyard.selectorLabels" . }}
app.kubernetes.io/part-of: trainyard
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "trainyard.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "trainyard.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: set the name of an existing ServiceAccount, or create one with serviceAccount.create=true" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "trainyard.tlsSecret" -}}
{{- default (printf "%s-tls" (include "trainyard.fullname" .)) .Values.progress.tlsSecret }}
{{- end }}

{{- define "trainyard.progressUrl" -}}
{{- default (printf "https://%s.%s.svc:%d" (include "trainyard.fullname" .) .Release.Namespace (int .Values.progress.port)) .Values.progress.url }}
{{- end }}

{{/* Reference of an image. Arguments: the root, a block with repository, tag and digest, and a suffix of the repository. */}}
{{- define "trainyard.image" -}}
{{- $root := index . 0 }}
{{- $image := index . 1 }}
{{- $suffix := index . 2 }}
{{- $registry := $root.Values.global.imageRegistry }}
{{- $name := printf "%s%s" $image.repository $suffix }}
{{- if $registry }}{{ $name = printf "%s/%s" (trimSuffix "/" $registry) $name }}{{ end }}
{{- if and $image.digest (not $suffix) }}
{{- printf "%s@%s" $name $image.digest }}
{{- else }}
{{- printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{- define "trainyard.imageByFramework" -}}
{{- $torch := include "trainyard.image" (list . .Values.trainer.image "-torch") }}
{{- mergeOverwrite (dict "Torch" $torch) .Values.trainer.imageByFramework | toJson }}
{{- end }}

{{/* Pod options of one role for the operator's configuration. Arguments: the root and the values of the role. */}}
{{- define "trainyard.podDefaults" -}}
{{- $root := index . 0 }}
{{- $role := index . 1 }}
{{- $given := pick $role "podSecurityContext" "securityContext" }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "serviceAccountName" "imagePullSecrets" "env" "annotations" "podLabels" "podAnnotations" "priorityClassName" "runtimeClassName" "volumes" "volumeMounts" "sharedMemory" }}
{{- with get $role $key }}{{ $_ := set $given $key . }}{{ end }}
{{- end }}
{{- with merge (dict) $role.labels $root.Values.commonLabels }}{{ $_ := set $given "labels" . }}{{ end }}
{{- toJson $given }}
{{- end }}

{{/* Refuse invalid values before any object is created. */}}
{{- define "trainyard.check" -}}
{{- $name := include "trainyard.fullname" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) }}
{{- fail (printf "%q is not a valid name of a Service: set fullnameOverride to lower-case letters, digits and '-', starting with a letter" $name) }}
{{- end }}
{{- if and (not .Values.rbac.clusterScoped) (not .Values.watchNamespaces) }}
{{- fail "rbac.clusterScoped=false needs watchNamespaces: without them, the operator needs a ClusterRole" }}
{{- end }}
{{- include "trainyard.checkNamespaces" . }}
{{- end }}

{{/* Without a cluster, as in `helm template`, `lookup` finds nothing, so nothing can be checked. The namespace of the release
or kube-system shows whether there is a cluster: a user who may not read kube-system cannot create the namespace of the
release, so it exists. */}}
{{- define "trainyard.checkNamespaces" -}}
{{- $cluster := true }}
{{- if .Values.watchNamespaces }}
{{- $cluster = lookup "v1" "Namespace" "" .Release.Namespace }}
{{- if not $cluster }}{{ $cluster = lookup "v1" "Namespace" "" "kube-system" }}{{ end }}
{{- end }}
{{- if $cluster }}
{{- range .Values.watchNamespaces }}
{{- if not (or (eq . $.Release.Namespace) (lookup "v1" "Namespace" "" .)) }}
{{- fail (printf "watchNamespaces: the namespace %s does not exist; run: kubectl create namespace %s" . .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Permissions of the operator in a namespace that it watches. It reads no Secrets and never writes a user's spec. */}}
{{- define "trainyard.rules" -}}
# patch is for one annotation, trainyard.dev/saved-status: the part of the status that a restore needs.
- apiGroups: [trainyard.dev]
  resources: [trainingjobs, modelversions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [trainyard.dev]
  resources: [predictionjobs]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [trainyard.dev]
  resources: [trainingschedules, modeldeployments]
  verbs: [get, list, watch, patch]
- apiGroups: [trainyard.dev]
  resources:
    - trainingjobs/status
    - trainingschedules/status
    - modelversions/status
    - modeldeployments/status
    - predictionjobs/status
  verbs: [get, patch]
# Required if the API server protects blockOwnerDeletion, as on OpenShift: children have an owner reference.
- apiGroups: [trainyard.dev]
  resources:
    - trainingjobs/finalizers
    - trainingschedules/finalizers
    - modeldeployments/finalizers
    - predictionjobs/finalizers
  verbs: [update]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
# The holder of a Lease in each namespace is the only release that works there.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [trainyard]
  verbs: [get, update]
# list is for pods whose status shows no reason, for example if a volume cannot be mounted.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [list]
# create uses the core API, because it has the time stamps by which kubectl sorts Events.
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* Permissions to validate a ModelVersion that its gates rejected. */}}
{{- define "trainyard.overrule" -}}
- apiGroups: [trainyard.dev]
  resources: [modelversions]
  verbs: [get, list, watch, patch]
{{- end }}
