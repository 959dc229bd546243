"""Start the page: `python app.py [--model NAME]...`. A Space runs this very file."""

from unetseg.demo import main

if __name__ == "__main__":
    main()
