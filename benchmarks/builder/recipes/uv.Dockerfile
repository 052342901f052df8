FROM {python}
WORKDIR /app
COPY . .
RUN pip install --no-cache-dir uv \
 && cd {path} \
 && UV_PYTHON=python3 UV_COMPILE_BYTECODE=1 uv sync --frozen --no-dev --no-cache \
 && pip uninstall --yes uv
