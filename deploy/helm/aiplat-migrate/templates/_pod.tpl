{{- define "aiplat-migrate.labels" -}}
app.kubernetes.io/name: aiplat-migrate
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "aiplat-migrate.policy" -}}
{{- /* Exit codes that a second attempt may mend: 5 locked, 6 unreachable, and signals. */}}
podFailurePolicy:
  rules:
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          status: "True"
    - action: FailJob
      onExitCodes:
        containerName: migrate
        operator: NotIn
        values: [5, 6, 130, 137, 143]
{{- end }}

{{- define "aiplat-migrate.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
serviceAccountName: {{ .Release.Name }}-migrate
restartPolicy: Never
terminationGracePeriodSeconds: 60
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: migrate
    image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: {{ toJson .args }}
    envFrom:
      - configMapRef:
          name: {{ .Release.Name }}-migrate
    env:
      {{- range $name, $key := .Values.credentials.keys }}
      - name: {{ $name }}
        value: /var/run/secrets/db-credentials/{{ $key }}
      {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    resources: {{ toYaml .Values.resources | nindent 6 }}
    volumeMounts:
      - name: db-credentials
        mountPath: /var/run/secrets/db-credentials
        readOnly: true
volumes:
  - name: db-credentials
    secret:
      secretName: {{ .Values.credentials.secretName }}
      defaultMode: 0440
{{- with .Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
